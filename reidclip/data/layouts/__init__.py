"""One file per data set: how its folders and names turn into samples, labels and protocols."""
