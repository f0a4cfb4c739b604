"""One confined child per job: open `supervisor` first, then `children` and `child`.

    supervisor: claims a job -> children: starts one -> launch -> child: runs the library, says how it ended

`protocol` is what the two sides say, `sandbox` what a child gives up, `endings` what is stored of one that failed.
"""
