"""The routes of /v1, in four groups: search, people, trust, service. Each takes a request apart, calls the
library in a thread, and puts the answer into JSON.
"""
