"""The device: picture to frame to answer."""
