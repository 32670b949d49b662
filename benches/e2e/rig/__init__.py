"""The rig that measures Millrace beside Java Connect, on one broker, in one run."""
