"""The edge: threads that wait for the outside world, decode, and hand inputs to the lane."""
