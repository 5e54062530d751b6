"""The forward pass as a program: written once, without torch, for engines that compute or emit it."""
