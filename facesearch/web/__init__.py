"""The page and the service: HTTP in front of the jobs that the command line calls. Nothing here decides or
computes anything again.
"""
