# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: typed requests, what a job tells while it runs, and the jobs themselves."""
