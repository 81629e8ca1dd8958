"""The science: structures → features → model → training → prediction.

The public interface is what each sub-package lists in `__all__`: `structures` (sources,
cells), `data` (packed stores, splits, batches), `families` (model families), `training`
(`fit`), `bundle`, `predict`, `baselines`; `config`, `durable` and `errors` lie
below them all.
Nothing here knows of searching. Importing this package imports nothing heavy.
"""
