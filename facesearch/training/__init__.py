"""How an encoder is trained: recipe, photos, losses, the loop, the teacher, and the folder of a run."""
