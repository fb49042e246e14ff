"""What an encoder costs: parameters, operations, time and memory."""
