"""What the classes of the named datasets are called."""

from __future__ import annotations

# In the order of the labels, which is that of the alphabet.
_NAMES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
        couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
        house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
        motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
        pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket
        rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
        sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
        turtle wardrobe whale willow_tree wolf woman worm
    """,
}
#: By dataset and label.
CLASSES = {dataset: names.split() for dataset, names in _NAMES.items()}


def class_name(dataset: str, label: int) -> str:
    """The name of a class, or its number where the dataset gives it none."""
    names = CLASSES.get(dataset, [])
    return names[label] if 0 <= label < len(names) else str(label)
