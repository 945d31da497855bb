# Sourced in the small machine: a simulated GPIO chip with a Pi 4's label and lines, and a trace of its writes.
SIM=/sys/kernel/config/gpio-sim
mkdir "$SIM/pi" "$SIM/pi/bank0"
echo 58 > "$SIM/pi/bank0/num_lines"
echo pinctrl-bcm2711 > "$SIM/pi/bank0/label"
for LINE in $(seq 0 27); do
    mkdir "$SIM/pi/bank0/line$LINE"
    echo "GPIO$LINE" > "$SIM/pi/bank0/line$LINE/name"
done
echo 1 > "$SIM/pi/live"
CHIP=$(cat "$SIM/pi/bank0/chip_name")
# Where the tests press the end stop.
export WORMFOCUS_SIM_LINES=/sys/devices/platform/$(cat "$SIM/pi/dev_name")/$CHIP
TRACE=/sys/kernel/tracing
echo mono > "$TRACE/trace_clock"
echo 16384 > "$TRACE/buffer_size_kb"
# The trace numbers lines through all chips; this is the number of the chip's line 0.
for NODE in /sys/class/gpio/gpiochip*; do
    grep -qs pinctrl-bcm2711 "$NODE/label" && export WORMFOCUS_SIM_BASE=$(cat "$NODE/base")
done
# rpi-lgpio refuses to work on anything but a Pi; this makes it take the machine for a Pi 4.
export RPI_LGPIO_REVISION=c03114
