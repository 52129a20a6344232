"""What is measured of a model beside its scores: one file a kind of number, each under the name that gates know."""
