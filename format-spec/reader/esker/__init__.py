"""A reader of Esker repositories, written from format-spec/ and sharing no code with Esker."""
