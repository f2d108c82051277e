"""How well weights and compiled graphs do on labelled images; knows nothing of training."""
