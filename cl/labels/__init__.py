"""Change the labels of a project: in its data, in the champion, and in what comes in under a former name."""
