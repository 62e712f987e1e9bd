"""Files that people attach to messages: what they are, where their bytes are, and who may read them."""
