"""Labels out to the tools in which people correct them, CVAT and Label Studio, and back."""
