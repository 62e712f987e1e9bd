"""The direct transport: from a TCP connection to frames and back, without a task, a queue or a timer for each."""
