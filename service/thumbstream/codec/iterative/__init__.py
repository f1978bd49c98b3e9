"""The five families of arXiv 1511.06085: every iteration codes the residual of the previous one."""
