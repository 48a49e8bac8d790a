"""A folder of photos without names: scanned, grouped, reviewed, sorted."""
