"""What the series costs on a machine: speed, memory and what a training gives for its time."""
