"""The AWS wire: signatures, routing, and the translation between AWS's requests and the engine's words."""
