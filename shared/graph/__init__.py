"""What a device computes: a graph, as ncnn runs it. It knows no network."""
