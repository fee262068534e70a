"""Global and shared memory of a machine. What a GPU leaves undefined is a fault."""

import numpy as np

NOBODY, SEVERAL = -1, -2


class Fault(Exception):
    """An instruction that a GPU would refuse, or whose result is undefined."""


class Global:
    """The tensors that a kernel was given, by their addresses.

    A byte that one program of a grid writes may be neither read nor written by another: nothing
    orders them.

    Args:
        tensors: address of each, and its bytes, which are read and written in place.
    """

    def __init__(self, tensors: list[tuple[int, np.ndarray]]) -> None:
        self.tensors = tensors
        self.writers = [np.full(len(data), NOBODY, np.int32) for _, data in tensors]
        self.readers = [np.full(len(data), NOBODY, np.int32) for _, data in tensors]

    def read(self, at: np.ndarray, size: int, program: np.ndarray) -> np.ndarray:
        """``size`` bytes from each address on, for the program of each: (addresses, size)."""
        result = np.empty((len(at), size), np.uint8)
        for number, chosen, places in self._found(at, size):
            writers, readers, own = (
                self.writers[number],
                self.readers[number],
                program[chosen, None],
            )
            if ((writers[places] != NOBODY) & (writers[places] != own)).any():
                raise Fault('a program reads what another one writes')
            alone = (readers[places] == NOBODY) | (readers[places] == own)
            readers[places] = np.where(alone, own, SEVERAL)
            result[chosen] = self.tensors[number][1][places]
        return result

    def write(self, at: np.ndarray, values: np.ndarray, program: np.ndarray) -> None:
        """Writes (addresses, size) bytes."""
        for number, chosen, places in self._found(at, values.shape[1]):
            own = program[chosen, None]
            for others in (self.writers[number], self.readers[number]):
                if ((others[places] != NOBODY) & (others[places] != own)).any():
                    raise Fault('a program writes what another one reads or writes')
            self.writers[number][places] = own
            self.tensors[number][1][places] = values[chosen]

    def _found(self, at: np.ndarray, size: int):
        """Each tensor's number, which addresses are in it, and their bytes' places there."""
        check_alignment(at, size)
        left = np.ones(len(at), bool)
        for number, (start, data) in enumerate(self.tensors):
            inside = left & (at >= start) & (at + size <= start + len(data))
            if inside.any():
                chosen = np.flatnonzero(inside)
                yield number, chosen, (at[chosen] - start)[:, None] + np.arange(size)
                left &= ~inside
        if left.any():
            raise Fault(f'{left.sum()} accesses outside all tensors')


class Shared:
    """Shared memory of some programs: NaN before it is written.

    A byte that one warp writes may be neither read nor written by another before a barrier.
    """

    def __init__(self, programs: int, size: int) -> None:
        self.size = size
        self.data = np.full(programs * size, 0xFF, np.uint8)
        self.barriers = np.zeros(programs, np.int32)
        """How many each program has passed."""
        self._writer, self._reader = (np.full(programs * size, NOBODY, np.int16) for _ in 'wr')
        self._written, self._read = (np.full(programs * size, -1, np.int32) for _ in 'wr')

    def read(self, at: np.ndarray, size: int, program: np.ndarray, warp: np.ndarray) -> np.ndarray:
        """(addresses, size) bytes."""
        places, now = self._places(at, size, program), self.barriers[program, None]
        if ((self._written[places] == now) & (self._writer[places] != warp[:, None])).any():
            raise Fault('a warp reads what another one has written since the last barrier')
        again = (self._read[places] == now) & (self._reader[places] != warp[:, None])
        self._reader[places] = np.where(again, SEVERAL, warp[:, None])
        self._read[places] = now
        return self.data[places]

    def write(
        self, at: np.ndarray, values: np.ndarray, program: np.ndarray, warp: np.ndarray
    ) -> None:
        """Writes (addresses, size) bytes."""
        places = self._places(at, values.shape[1], program)
        now, own = self.barriers[program, None], warp[:, None]
        for when, who in ((self._written, self._writer), (self._read, self._reader)):
            if ((when[places] == now) & (who[places] != own)).any():
                raise Fault('a warp writes what another one has used since the last barrier')
        self._written[places], self._writer[places] = now, own
        self.data[places] = values

    def _places(self, at: np.ndarray, size: int, program: np.ndarray) -> np.ndarray:
        check_alignment(at, size)
        if (at < 0).any() or (at + size > self.size).any():
            raise Fault(f'an access outside of {self.size} bytes of shared memory')
        return (program * self.size + at)[:, None] + np.arange(size)


def check_alignment(at: np.ndarray, size: int) -> None:
    """Raises a fault unless each address is a multiple of the size of the access."""
    if (at % size).any():
        raise Fault(f'an access of {size} bytes at an address that is not a multiple of it')
