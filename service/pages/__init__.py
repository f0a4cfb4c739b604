"""The web page at `/`: open `routes` first.

`access` says who may see which page and turns problems into pages, `fields` makes the form from the options, `sending`
takes it where no script runs, `history` and `comparing` read what is shown, `site` has the templates and static files.

With keys, a browser has none to send when it opens an address: it is given an empty page, whose script asks for the
same address again with the key that this tab keeps. So each page has one address and one template, and nothing of a
tenant is in what is answered without a key.
"""
