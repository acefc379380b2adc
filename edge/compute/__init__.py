"""From a picture file to a code: decoding, the head, the encoder, the codec."""
