"""Operations on a running stack, driven from outside the program: `python -m ops …`."""
