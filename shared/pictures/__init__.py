"""From a picture file to the network's input."""
