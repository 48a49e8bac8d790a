"""Words to one job, its result to print: the commands, by what they are about."""
