"""What Redis keeps of a user: devices, session records, sign-outs."""
