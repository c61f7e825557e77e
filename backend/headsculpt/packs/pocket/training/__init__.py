# SPDX-License-Identifier: GPL-3.0-or-later
"""What made the pocket pack: renders with captions, training, and the back-view embedding."""
