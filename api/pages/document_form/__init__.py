"""Forms for any part of the program document, made from its models: nothing here knows a field by itself."""
