"""On the rig, now and then: z-stacks, focus measures and labels."""
