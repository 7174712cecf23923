"""Which classes of CIFAR-10 and CIFAR-100 literature takes for one another."""

import collections

# airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck
CIFAR10_LOOKALIKES = (0, 1, 0, 5, 7, 3, 6, 7, 8, 1)

# The superclass of each of CIFAR-100's classes, both in alphabetical order
# (Krizhevsky 2009, the `coarse_labels` of the published files).
CIFAR100_SUPERCLASSES = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
    *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
    *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
    *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
    *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)


def next_in_superclass(superclasses):
    """Returns the next class of the same superclass, for each class; a cycle."""
    members = collections.defaultdict(list)
    for fine, coarse in enumerate(superclasses):
        members[coarse].append(fine)
    following = {}
    for group in members.values():
        following.update(zip(group, group[1:] + group[:1], strict=True))
    return tuple(following[fine] for fine in range(len(superclasses)))


CIFAR100_NEXT_IN_SUPERCLASS = next_in_superclass(CIFAR100_SUPERCLASSES)
