"""Web Push: notifications of questions and mentions, to devices that asked for them."""
