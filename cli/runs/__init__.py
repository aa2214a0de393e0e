"""What a run is: configuration, directory, training into it, translating with it."""
