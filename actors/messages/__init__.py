"""Messages: one module for each arrow of the data flow. Immutable, typed, easy to replay."""
