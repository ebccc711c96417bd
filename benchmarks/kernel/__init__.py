"""What the kernel's datapath costs: ours against C, and our agent against other switches."""
