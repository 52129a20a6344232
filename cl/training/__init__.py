"""What training needs below the stage: the learner, batches, precision, the loop, Fisher information."""
