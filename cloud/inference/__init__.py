"""What serves a request and knows no transport: keys, admission, batches, the models."""
