"""Comparisons in a confined child each: open `confined` for the side of the web process, `child` for the other one.

    web process: the body lies in a file -> child: parses it, asks for the reports of analyses by id, compares

Whatever a body holds, it costs the web process nothing but the file.
"""
