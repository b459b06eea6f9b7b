"""faults - one file for each thing that is done to the programs. Each has TITLE and run(world, tally, rng, short)."""
