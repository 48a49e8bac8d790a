"""From aligned crops to unit vectors: the network, the engines that run it, its files, and the stream of
photos.
"""
