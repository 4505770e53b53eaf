"""Forward-only training, in parts: streams, local losses, merges, schedules."""
