# `make demo` and `make test` are all the set-up there is: each creates .venv when it is missing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
FOOTAGE := examples/footage

# Further Blender versions that `make test-blender` runs the Blender tests on, each with the Python it is built for; the
# bpy in constraints.txt is in `make test`.
BLENDER_TESTS := $(addprefix tests/blender/test_,scene.py people.py people_list.py export.py retarget.py \
	footage_and_queue.py runtime.py)
BLENDER_VERSIONS ?= python3.11-4.2.23 python3.11-5.0.1 python3.13-5.2.3

# `make test-gui`: Debian releases whose Blender is opened in a window, where they are installed, and what they share.
GUI_SUITES ?= trixie sid
GUI_ROOT ?= /var/tmp/aios-gui

.PHONY: demo test test-blender test-gui extension bench bench-tracking lint clean

demo: $(VENV)/ready
	mkdir -p out
	$(BIN)/aios run $(FOOTAGE)/astronaut.jpg -o out/astronaut.blend --preview out/astronaut.png
	$(BIN)/aios run $(FOOTAGE)/plaza.mp4 -o out/plaza.blend --preview out/plaza.mp4
	$(BIN)/python examples/describe.py out/astronaut.npz out/plaza.npz
	@ls -l out

test: $(VENV)/ready
	$(BIN)/python -m pytest

test-blender:
	for version in $(BLENDER_VERSIONS); do \
		python=$${version%%-*}; bpy=$${version#*-}; \
		$$python -m venv $(VENV)-bpy-$$bpy && \
		$(VENV)-bpy-$$bpy/bin/python -m pip install -q bpy==$$bpy numpy scipy tqdm pytest hypothesis && \
		$(VENV)-bpy-$$bpy/bin/python -m pytest -p no:cacheprovider $(BLENDER_TESTS) || exit 1; \
	done

# Needs root and debootstrap. The pictures of every window are left in out/gui-*.
test-gui: extension
	$(BIN)/python -c "from pathlib import Path; from benchmarks.clips import PLAZA, write_clip; \
		write_clip(Path('out/gui.mp4'), PLAZA, 30, 30, (960, 540))"  # long enough to be cancelled
	export PYTHONPATH=$(CURDIR); for suite in $(GUI_SUITES); do \
		root=$(GUI_ROOT)-$$suite; export SHARED="$(CURDIR) $$($(BIN)/python -c 'import sys; print(sys.base_prefix)')"; \
		[ -x $$root/usr/bin/blender ] || tools/windowed_blender.sh install $$suite $$root || exit 1; \
		rm -rf $$root/t && mkdir -p $$root/t/out out/gui-$$suite && cp dist/aios_blender-*.zip $$root/t/aios.zip && \
		tools/windowed_blender.sh run $$root tests/gui/click_through.py /t/aios.zip \
			$(CURDIR)/out/gui.mp4 $(CURDIR)/$(BIN)/python /t/out; \
		cp $$root/t/out/* out/gui-$$suite/; tests/gui/headless.sh $$root $(CURDIR) $(BIN)/python; code=$$?; \
		tools/windowed_blender.sh unmount $$root; [ $$code = 0 ] || exit 1; \
		grep -q '"error": null' out/gui-$$suite/result.json || { cat out/gui-$$suite/result.json; exit 1; }; \
	done

extension: $(VENV)/ready
	$(BIN)/python tools/build_extension.py --output dist

bench: $(VENV)/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

# The trackers that ours is compared with need numpy 2, bpy 4.5 needs numpy 1: they get an environment of their own.
bench-tracking: $(VENV)-tracking/ready
	$(VENV)-tracking/bin/python -m benchmarks.tracking
	$(VENV)-tracking/bin/python -m benchmarks.motion --plot docs/images/motion.png

$(VENV)-tracking/ready: constraints-tracking.txt
	$(PYTHON) -m venv $(VENV)-tracking
	$(VENV)-tracking/bin/python -m pip install -q -r constraints-tracking.txt
	touch $@

lint: $(VENV)/ready
	$(BIN)/python -m pip install -q -c constraints.txt ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[blender,train,test]'
	# trackeval asks for numpy 2 but runs with the numpy 1 that bpy 4.5 needs.
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt trackeval
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bpy-* $(VENV)-tracking out dist build *.egg-info
