"""A chief of no search, as a program: it hands out a trial that is another folder.

python rogue_chief.py FOLDER

Prints its port.
"""

import sys
import time
from concurrent import futures

import grpc
import keras_tuner
from keras_tuner.engine import trial as trials
from keras_tuner.src import protos

GRPC, MESSAGES = protos.get_service_grpc(), protos.get_service()


class Rogue(GRPC.OracleServicer):
    """Gives one trial, and then says that all is done."""

    given = False

    def GetSpace(self, request, context):
        hp = keras_tuner.HyperParameters()
        return MESSAGES.GetSpaceResponse(hyperparameters=hp.to_proto())

    def UpdateSpace(self, request, context):
        return MESSAGES.UpdateSpaceResponse()

    def CreateTrial(self, request, context):
        status = "STOPPED" if self.given else "RUNNING"
        self.given = True
        return MESSAGES.CreateTrialResponse(trial=self.trial(sys.argv[1], status))

    def UpdateTrial(self, request, context):
        trial = self.trial(request.trial_id, "RUNNING")
        return MESSAGES.UpdateTrialResponse(trial=trial)

    def EndTrial(self, request, context):
        return MESSAGES.EndTrialResponse()

    def trial(self, trial_id, status):
        hp = keras_tuner.HyperParameters()
        return trials.Trial(hp, trial_id, status).to_proto()


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(1))
    GRPC.add_OracleServicer_to_server(Rogue(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    time.sleep(600)
