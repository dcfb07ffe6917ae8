"""What runs a graph: ONNX Runtime or torch, and the devices that they run on."""
