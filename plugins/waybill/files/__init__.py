"""Files: unpack, decode and split what landed into records, and recognise how a file is written."""
