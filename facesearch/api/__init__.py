"""The library's front: galleries, encoders, detectors and photos, for programs, the command line and the
service.
"""
