"""Prepared datasets: where labelled and unlabelled photos come from, and the folders of crops that training
reads.
"""
