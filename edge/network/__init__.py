"""From a code to an answer: a cloud's address, requests to it, and how fast the link is."""
