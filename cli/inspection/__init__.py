"""What an agent tells about itself: asking it, putting names to ids, and writing it in lines."""
